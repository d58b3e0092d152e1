"""PostgreSQL. Only this package imports the driver, and only it holds SQL, which is in .sql files beside their
modules. It knows no rule about money and no caller.

batch/ writes movements; reads/ answers questions; registry/ writes users, wallets, assets, programmes and keys; rows/
has the forms of rows; chain/ has the audit chain; upkeep/ is for keepers; schema/ has migrations; verify/ checks the
laws; connections/ has connections and errors; embedded/ runs a server. Begin with batch/commit for the path of a write.
"""
