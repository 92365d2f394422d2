"""What the project's own work needs: installing, catalogues, screenshots, the README's tables. Not part of the package."""
