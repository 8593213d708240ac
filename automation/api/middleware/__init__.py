"""What holds for every request, one concern a file: `automation.api.app.create_app` lists them in order."""
