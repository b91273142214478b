"""Labels for images, from the promoted model or any other `.keras` file whose metrics lie beside it."""
