"""Make the report page: its contents, its drawings and its HTML."""
