import os

from .settings import *  # noqa: F403

ALLOWED_HOSTS = ["*"]
# Links, redirects and static files then begin with the path of the instance. It is empty in host form.
BASE_PATH = os.environ.get("EPHEMERA_BASE_PATH", "")
FORCE_SCRIPT_NAME = BASE_PATH or None
STATIC_URL = f"{BASE_PATH}/static/"
