"""What a browser needs to keep Tether as an app: the manifest, the service worker, and the page for no network."""

import json
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from posixpath import dirname, normpath

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

# All that the offline page loads. It is of nobody: the same for everybody, but for the language.
PARTS = ("tether/tether.css", "tether/shell.css", "tether/page/offline.js", "tether/icon.svg")
MAIN = "tether/page/main.js"
IMPORT = re.compile(r"""^(?:import|export|\}) [^"']*["'](\.[^"']+)["'];""", re.MULTILINE)
TEMPLATE = "conversations/offline.html"


@require_safe
@cache_control(no_cache=True)
def offline(request: HttpRequest) -> HttpResponse:
    return render(request, TEMPLATE)


@require_safe
@cache_control(no_cache=True)
def worker(request: HttpRequest) -> HttpResponse:
    """The worker with its version: another one as soon as anything that it keeps has changed."""
    source = _static_file("tether/worker.js").read_text()
    shell = json.dumps([reverse("offline"), *(static(part) for part in PARTS)])
    program = f"const VERSION = {json.dumps(_version())};\nconst SHELL = {shell};\n{source}"
    return HttpResponse(program, content_type="text/javascript; charset=utf-8")


@require_safe
@cache_control(max_age=3600)
def manifest(request: HttpRequest) -> HttpResponse:
    home = reverse("home")
    described = {
        "id": home,
        "start_url": home,
        "scope": home,
        "name": "Tether",
        "short_name": "Tether",
        "description": gettext("Conversations with an AI that never lose their place."),
        "display": "standalone",
        "background_color": "#f6f4ef",
        "theme_color": "#f6f4ef",
        "icons": [
            {"src": static("tether/icon.svg"), "type": "image/svg+xml", "sizes": "any"},
            *(_icon(name, size, "any") for name, size in (("icon-192", 192), ("icon-512", 512))),
            _icon("icon-maskable", 512, "maskable"),
        ],
    }
    return JsonResponse(described, content_type="application/manifest+json")


@cache
def page_modules() -> tuple[str, ...]:
    """Return all that the page's first module imports, for the browser to fetch at once and not one after the other."""
    found = [MAIN]
    for name in found:  # grows as it goes
        addresses = IMPORT.findall(_static_file(name).read_text())
        names = (normpath(f"{dirname(name)}/{address}") for address in addresses)
        found += [name for name in dict.fromkeys(names) if name not in found]
    return tuple(found[1:])


def _icon(name: str, size: int, purpose: str) -> dict[str, str]:
    src = static(f"tether/icons/{name}.png")
    return {"src": src, "type": "image/png", "sizes": f"{size}x{size}", "purpose": purpose}


@cache
def _version() -> str:
    kept = [_static_file(part) for part in ("tether/worker.js", *PARTS)]
    templates = [Path(settings.BASE_DIR) / "templates" / name for name in ("base.html", TEMPLATE)]
    return sha256(b"".join(path.read_bytes() for path in (*kept, *templates))).hexdigest()[:12]


def _static_file(name: str) -> Path:
    found = finders.find(name)
    assert isinstance(found, str), name
    return Path(found)
