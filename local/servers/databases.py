"""The real PostgreSQL servers behind the clusters of the local cloud, one for each, started when first needed."""

from __future__ import annotations

from local.core.cloud import Cloud
from local.core.places import written
from local.servers.kdc import Kdc
from local.servers.postgres import Postgres


class Databases:
    """The servers by cluster identifier, of the present account and Region or written with its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.folder = cloud.folder
        cloud.at_end.callback(self.stop)
        self._servers: dict[str, Postgres] = {}
        self._prepared: dict[str, list[str]] = {}
        self._started: set[str] = set()

    def add(self, cluster: str, endpoints: list[str], user: str, password: str, statements: list[str]) -> int:
        """A server for a cluster, on which statements have been run long before; its port."""
        name = written(cluster)
        self._servers[name] = Postgres(self.folder / name.replace("/", "-"), user, password, endpoints)
        self._prepared[name] = statements
        return self._servers[name].port

    def copy(self, source: str, cluster: str, endpoints: list[str]) -> int:
        """A server for a cluster that is restored from another one's data; its port."""
        user, password = self._servers[written(source)].master
        return self.add(cluster, endpoints, user, password, self._prepared[written(source)])

    def start(self, cluster: str) -> None:
        """Start a cluster's server, if it is not running yet: a function may want to connect."""
        name = written(cluster)
        if name not in self._started:
            server = self._servers[name]
            server.start()
            self._started.add(name)
            for statement in self._prepared[name]:
                server.sql_of_a_person(statement)

    def server(self, cluster: str) -> Postgres:
        """The running server of a cluster."""
        self.start(cluster)
        return self._servers[written(cluster)]

    def join(self, cluster: str, endpoints: list[str], kdc: Kdc, krb5_conf: str = "") -> None:
        """What AWS does on a domain join: a service principal for each endpoint, its key on the server.

        `krb5_conf` tells the server where KDCs are; only the directory's own, when not said.
        """
        services = [f"postgres/{endpoint}" for endpoint in endpoints]
        for service in services:
            if not kdc.has_principal(service):
                kdc.add_principal(service)
        keytab = self.folder / f"{written(cluster).replace('/', '-')}.keytab"
        kdc.keytab(keytab, *services)
        self.server(cluster).join(keytab.read_bytes(), krb5_conf or kdc.client_conf())

    def leave(self, cluster: str) -> None:
        """What AWS does when a cluster leaves its domain: the keys of its service principals go."""
        self.server(cluster).leave()

    def preload(self, cluster: str, group_mapping: bool) -> None:
        """Whether a cluster's server loads pg_ad_mapping when it starts the next time."""
        self._servers[written(cluster)].group_mapping = group_mapping

    def restart(self, cluster: str) -> None:
        """Restart a cluster's server, when it runs."""
        if written(cluster) in self._started:
            self._servers[written(cluster)].restart()

    def stop(self) -> None:
        """End all servers."""
        for name in self._started:
            self._servers[name].stop()
        self._started.clear()
