"""Around both lanes: who asks, other origins, the time an answer may take, the fast lane. Begin with edge."""
