"""The Postgres server of target local."""
