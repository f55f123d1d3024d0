"""Archives: thousands of videos from any store into tables, by several processes, in runs that can be repeated."""
