"""dbt, in a process of its own: builds the months that have landed."""
