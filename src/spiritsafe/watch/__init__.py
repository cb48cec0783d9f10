"""Watch: follow a folder of finished log segments; features once, links every few minutes, campaigns hourly."""
