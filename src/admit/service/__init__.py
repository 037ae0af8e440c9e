"""The token service: plain functions over one SQL transaction, and TokenService, their facade."""
