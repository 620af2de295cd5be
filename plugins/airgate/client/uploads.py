"""Bodies that are sent piece by piece: files, streams and forms of both."""

from airgate.client.form import Multipart
from airgate.client.streams import PIECE, Body, FileBody, OneShot, Stream, StreamBody, Upload, body_digest

__all__ = ["PIECE", "Body", "FileBody", "Multipart", "OneShot", "Stream", "StreamBody", "Upload", "body_digest"]
