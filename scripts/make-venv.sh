#!/usr/bin/env bash
# make-venv.sh DIR: a virtual environment in DIR with edgetime[compress,dev,ethos-u,linecompress], pinned by constraints.txt.
# Needs Python 3.11, 3.12 or 3.13 with pip; uv is used where present because it is quicker.
set -euo pipefail
venv=$1
cd "$(dirname "$0")/.."

usable() {
	"$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
	if usable "$candidate"; then
		python=$candidate
		break
	fi
done
if [ -z "$python" ]; then
	echo "No Python 3.11, 3.12 or 3.13 with venv and pip was found: install one (on Debian and Ubuntu:" \
		"apt install python3 python3-venv), or name it, as in 'make install PYTHON=/path/to/python3.11'." >&2
	exit 1
fi

pins=(-c constraints.txt)
[ -z "${UNPINNED:-}" ] || pins=()
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
if command -v uv >/dev/null; then
	install=(uv pip install --quiet --python "$venv/bin/python")
else
	install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
fi
echo "Installing edgetime and what it needs into $venv (TensorFlow is large: a few minutes the first time) …" >&2
# setuptools comes first and pinned, so that building edgetime itself fetches nothing more.
"${install[@]}" "${pins[@]}" setuptools
"${install[@]}" "${pins[@]}" --no-build-isolation -e ".[compress,dev,ethos-u,linecompress]"
