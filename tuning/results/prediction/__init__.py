"""Labels images with the promoted model, or with any `.keras` file that has its metrics beside it."""
