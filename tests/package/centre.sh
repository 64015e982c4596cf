# The other side, on this machine: a broker with TLS and client certificates, as
# docs/mqtt.md has it, and a monitoring centre that sends receipts. The guest reaches
# it at 10.0.2.2. Sourced by ./run after ./debian.sh.
#
#   centre_authority         makes the centre's authority; its certificate is $share/ca.pem
#   centre_signs NAME CSR    signs a request, as docs/centre.md says: $share/NAME.pem
#   centre_start             broker and centre; $centre_port is the broker's port then
#   centre_heard WORDS       whether the centre has had an event with these words
#   centre_stop

centre_folder=$scratch/centre
centre_pids=()
centre_port=
mkdir -p "$centre_folder"

centre_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj '/CN=the centre' -keyout "$centre_folder/ca.key" -out "$share/ca.pem" 2>/dev/null
}

centre_signs() {
    local name=$1 csr=$2 uses=${3:-clientAuth} more=${4-}
    openssl req -in "$csr" -noout -verify 2>/dev/null || die "the request of $name is not one"
    printf '%s\n' 'basicConstraints = critical, CA:FALSE' 'keyUsage = critical, digitalSignature' \
        "extendedKeyUsage = $uses" $more >"$centre_folder/extensions"
    openssl x509 -req -in "$csr" -subj "/CN=$name" -CA "$share/ca.pem" -CAkey "$centre_folder/ca.key" \
        -days 825 -sha256 -set_serial "0x$(openssl rand -hex 16)" -extfile "$centre_folder/extensions" \
        -out "$share/$name.pem" 2>/dev/null
}

# For the broker and the centre themselves.
centre_identity() {
    local name=$1
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
        -keyout "$centre_folder/$name.key" -out "$centre_folder/$name.csr" 2>/dev/null
    centre_signs "$name" "$centre_folder/$name.csr" "${@:2}"
}

centre_start() {
    local PATH=$PATH:/usr/sbin port
    centre_identity broker serverAuth subjectAltName=IP:10.0.2.2,IP:127.0.0.1
    centre_identity centre
    cp docs/brokers/mosquitto.acl "$centre_folder/acl"
    for port in $(shuf -i 20000-29999 -n 10); do
        cat >"$centre_folder/mosquitto.conf" <<CONF
user root
log_dest stderr
listener $port 127.0.0.1
cafile $share/ca.pem
certfile $share/broker.pem
keyfile $centre_folder/broker.key
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file $centre_folder/acl
persistence false
CONF
        mosquitto -c "$centre_folder/mosquitto.conf" 2>"$centre_folder/mosquitto" &
        centre_pids=($!)
        centre_sees "$centre_folder/mosquitto" running && break
    done
    centre_port=$port
    "$kit" watch --host 127.0.0.1 --port "$port" --ca "$share/ca.pem" \
        --certificate "$share/centre.pem" --key "$centre_folder/centre.key" \
        --state "$centre_folder/state" --json \
        >"$centre_folder/watch" 2>&1 &
    centre_pids+=($!)
    centre_sees "$centre_folder/watch" '"news":"up"' ||
        die "the centre is not connected: $(cat "$centre_folder/mosquitto" "$centre_folder/watch")"
}

# Whether a line with these words comes while the last that was started runs.
centre_sees() {
    local file=$1 words=$2
    until grep -q -- "$words" "$file"; do
        kill -0 "${centre_pids[-1]}" 2>/dev/null || return 1
        sleep 0.1
    done
}

centre_heard() { grep -q -- "$1" "$centre_folder/watch"; }

centre_stop() {
    # They have nothing to save.
    if [ "${#centre_pids[@]}" -gt 0 ]; then kill "${centre_pids[@]}" 2>/dev/null || true; fi
    centre_pids=()
}
