"""What the sample services offer, as an OpenAPI document."""
