"""Results on disk: typed records, the folder that holds them, and tables read from it."""
