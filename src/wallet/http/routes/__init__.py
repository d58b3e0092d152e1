"""The framework's routes: one module for each subject, with its bodies and answers beside it. A handler only
translates between HTTP and service/. The routes of movements are made from the records in operations/.

Begin with resources, and with shared for what handlers have in common.
"""
