"""What every room stands on: files, records, errors, the workspace, the machine, progress, HTML."""
