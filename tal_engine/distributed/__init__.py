"""An archive on several machines (Ray): what `tal batch --ray` is made of, and the service as a Ray Serve application.

Needs the extra ``ray``. Nothing else imports this package, and it imports Ray where that is used.
"""

from .cluster import RayOptions, joined
from .localizing import LocalizeBatch, videos
from .ray_pool import RayPool
from .serving import serve_app

__all__ = ["LocalizeBatch", "RayOptions", "RayPool", "joined", "serve_app", "videos"]
