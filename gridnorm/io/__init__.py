"""Files: ``formats`` holds one row for each format that can be read, ``columns`` what all readers share."""
