"""Who may do what on the emulator: Google's roles, and the callers that have them."""

#: Rights of Google's predefined roles, of those that are asked for here.
_READS = ("datasets.get", "tables.get", "tables.list", "tables.getData", "routines.list")
_WRITES = (*_READS, "tables.create", "tables.update", "tables.updateData", "tables.delete")
ROLES: dict[str, tuple[str, ...]] = {
    "roles/bigquery.jobUser": ("jobs.create",),
    "roles/bigquery.user": (
        *("jobs.create", "jobs.list", "datasets.create", "datasets.get", "tables.list"),
    ),
    "roles/bigquery.dataEditor": _WRITES,
    "roles/bigquery.dataOwner": (*_WRITES, "datasets.update", "datasets.delete"),
}
#: Roles of a caller, by its token: on the project, and on our four datasets. The token `emulator`
#: may do everything.
GRANTS: dict[str, tuple[set[str], set[str]]] = {
    "least": ({"roles/bigquery.jobUser"}, {"roles/bigquery.dataEditor"}),
    # whose run makes the datasets, and so owns them
    "first": ({"roles/bigquery.user"}, {"roles/bigquery.dataOwner"}),
    # other members of the project
    "analyst": ({"roles/bigquery.jobUser"}, set()),
    "nobody": (set(), set()),
}
#: Rights that methods need; the others need none.
METHODS = {
    "bigquery.jobs.insert": "jobs.create",
    "bigquery.jobs.query": "jobs.create",
    "bigquery.jobs.list": "jobs.list",
    "bigquery.datasets.insert": "datasets.create",
    "bigquery.datasets.get": "datasets.get",
    "bigquery.datasets.patch": "datasets.update",
    "bigquery.datasets.update": "datasets.update",
    "bigquery.datasets.delete": "datasets.delete",
    "bigquery.tables.insert": "tables.create",
    "bigquery.tables.get": "tables.get",
    "bigquery.tables.list": "tables.list",
    "bigquery.tables.patch": "tables.update",
    "bigquery.tables.update": "tables.update",
    "bigquery.tables.delete": "tables.delete",
    "bigquery.tabledata.list": "tables.getData",
    "bigquery.routines.list": "routines.list",
}
