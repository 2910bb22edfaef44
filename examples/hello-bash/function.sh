handler() {
  local event
  event=$(< /dev/stdin)
  echo "got $event" >&2
  echo "{\"message\": \"Hello from bash $BASH_VERSION!\", \"event\": $event}"
}
