/**
 * Shell lines that go before a script for `iptables` in a container which has both kinds, that of
 * nf_tables and the older one: rules of the kind that the machine's daemon does not use would
 * stand where no packet passes. The daemon's own chain tells which one it is.
 */
export const CHOOSE_IPTABLES = `
if ! iptables -w 5 -C FORWARD -j DOCKER-USER 2>/dev/null &&
  iptables-legacy -w 5 -C FORWARD -j DOCKER-USER 2>/dev/null; then
  legacy=$(mktemp -d)
  for name in iptables iptables-restore; do
    ln -s "$(command -v "$(echo "$name" | sed s/iptables/iptables-legacy/)")" "$legacy/$name"
  done
  PATH=$legacy:$PATH
fi
`;
