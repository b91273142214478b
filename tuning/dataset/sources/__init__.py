"""What people bring: layouts are detected, and every file ends as a sample, as rejected or as ignored."""
