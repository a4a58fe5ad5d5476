from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import path, re_path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    # The development server compares the whole path with STATIC_URL, so it fails below a prefix.
    re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}),
]
