"""stub"""
def get_provider_info():
    return {"package-name": "airgate", "name": "Airgate", "description": "x", "versions": ["0.1.0"]}
