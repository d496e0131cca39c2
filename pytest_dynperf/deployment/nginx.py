"""nginx in front of several servers of the same API. Pure.

Nothing that would change what is measured: a stream is passed on chunk by chunk, a request that fails is not sent to another server, and
no server is taken out because it once answered with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.deployment.service import Place

KEPT_CONNECTIONS = 512
"""Idle connections to the servers that each process of nginx keeps."""


def proxy_service(place: Place, *, port: int, servers: Sequence[str], env: Mapping[str, str]) -> ServiceSpec:
    """nginx on ``port`` for ``servers`` (``host:port``); the port's purpose is ``api``, so that nobody takes it for metrics of its own."""
    configuration = f"{place.directory}/nginx.conf"
    return ServiceSpec(
        name="proxy",
        role="proxy",
        argv=(place.nginx, "-e", "stderr", "-p", f"{place.directory}/nginx", "-c", configuration),
        env=env,
        ports={"api": port},
        ready=ReadyCheck(port="api", path="/health"),
        working_directory=place.directory,
        directories=(f"{place.directory}/nginx",),
        files={configuration: configuration_text(place, port=port, servers=servers)},
        image=place.images.get("proxy"),
    )


def configuration_text(place: Place, *, port: int, servers: Sequence[str]) -> str:
    """``nginx.conf``: the least busy server gets the request, over a connection that is kept; all processes share what they count."""
    own = f"{place.directory}/nginx"
    temporary = "\n".join(
        f"  {kind}_temp_path {_quoted(f'{own}/{kind}')};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    upstream = "\n".join(f"    server {server} max_fails=0;" for server in servers)
    return f"""daemon off;
pid {_quoted(f"{own}/nginx.pid")};
error_log stderr warn;
worker_processes 4;
worker_rlimit_nofile 16384;
events {{
  worker_connections 8192;
}}
http {{
  access_log off;
{temporary}
  client_max_body_size 0;
  keepalive_requests 1000000;
  tcp_nodelay on;
  upstream servers {{
    zone servers 256k;
    least_conn;
{upstream}
    keepalive {KEPT_CONNECTIONS};
    keepalive_requests 1000000;
  }}
  server {{
    listen {place.bind}:{port} backlog=4096;
    location / {{
      proxy_pass http://servers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_next_upstream off;
      proxy_connect_timeout 10s;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
    }}
  }}
}}
"""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
