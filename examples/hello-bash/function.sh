handler() {
  local event
  event=$(cat)
  echo "got $event" >&2
  echo "{\"message\": \"Hello from bash $BASH_VERSION!\", \"event\": $event}"
}
