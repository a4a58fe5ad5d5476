export const help = `Ephemera: containers that are gone when their time is over.

  ephemera up [--keep] [--proxies N] [--workers N]
      Start everything on this machine: Docker and Redis where they do not run,
      workers (1), proxies (2) and the dashboard. Ctrl-C stops it and removes what
      was made since: instances, networks, firewall rules. --keep leaves the
      instances; the next start carries out their deadlines.
  ephemera clean
      Once it is stopped: remove what remains on the Docker daemon, instances of
      earlier starts included.

  ephemera run [TEMPLATE] [--timeout 30m] [--wait]
      Start an instance; print its id and address.
  ephemera ls
      List the instances.
  ephemera get ID
      Show one.
  ephemera renew ID --timeout 30m
      Move its deadline to that long from now.
  ephemera logs ID [--follow] [--tail N] [--timestamps]
      What it writes.
  ephemera kill ID... | --all
      End them.

  ephemera link [TEMPLATE] [--timeout 30m] [--uses 1] [--valid 24h]
      Make a link by which visitors start instances; print it.
  ephemera token NAME --scope read|create|admin
      Make a token; print it, and the line for ephemera.yml that lets it in.

The control API is found at EPHEMERA_ADMIN_URL (http://127.0.0.1:8081), with the
token in EPHEMERA_ADMIN_TOKEN or the one that the last start has made.
`;
