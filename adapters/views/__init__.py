"""The read models as tables, beside the event log they are made from."""
