"""The `jwt` command, also called `admit`. Nothing here is imported before the command needs it."""
