"""stub"""
from airflow.sdk.plugins_manager import AirflowPlugin
class AirgatePlugin(AirflowPlugin):
    name = "airgate"
