"""Raw data: layouts are detected, and every file becomes a sample, or is rejected or ignored."""
