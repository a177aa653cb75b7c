{{- define "detour.name" -}}
{{- if contains "detour" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-detour" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "detour.selector" -}}
app.kubernetes.io/name: detour
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "detour.labels" -}}
{{ include "detour.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Where a relay listens: a port that needs no rights, but with the node's own address. */ -}}
{{- define "detour.port" -}}
{{- if eq .Values.exposure "hostNetwork" }}{{ .Values.ports.derp }}{{ else }}8443{{ end }}
{{- end }}

{{- /* Whether it has to bind a low port of the node. */ -}}
{{- define "detour.low" -}}
{{- if and (eq .Values.exposure "hostNetwork") (lt (int .Values.ports.derp) 1024) }}yes{{ end }}
{{- end }}

{{- define "detour.check" -}}
{{- if not .Values.hostnames }}{{ fail "hostnames: name at least one relay, by the name or public IP address at which peers reach it" }}{{ end }}
{{- if not (or .Values.access (dig "access" false .Values.settings)) }}{{ fail "access: say who may come in, such as {managed: true}; {everyone: true} lets in everybody" }}{{ end }}
{{- if and (gt (len .Values.hostnames) 1) (not .Values.mesh.secretName) }}{{ fail "mesh.secretName: relays of a region need a key for their links: kubectl create secret generic NAME --from-file=mesh.key" }}{{ end }}
{{- if not (has .Values.exposure (list "LoadBalancer" "NodePort" "hostNetwork")) }}{{ fail "exposure: choose LoadBalancer, NodePort or hostNetwork" }}{{ end }}
{{- if and (eq .Values.tls.mode "files") (not .Values.tls.secretName) }}{{ fail "tls.secretName: name the secret with tls.crt and tls.key" }}{{ end }}
{{- if not (has .Values.spread (list "required" "preferred")) }}{{ fail "spread: choose required or preferred" }}{{ end }}
{{- end }}

{{- /* The settings of the relay of that number: a list of the root and the number. */ -}}
{{- define "detour.settings" -}}
{{- $root := index . 0 }}{{ $number := index . 1 }}{{ $v := $root.Values }}
{{- $port := include "detour.port" $root }}
{{- $name := include "detour.name" $root }}
{{- $s := dict "hostname" (index $v.hostnames $number) "listen" (printf ":%s" $port) "stun" (printf ":%d" (int $v.ports.stun)) }}
{{- $_ := set $s "state-dir" "/var/lib/detour" }}
{{- $_ := set $s "drain" (printf "%ds" (int $v.drainSeconds)) }}
{{- $_ := set $s "self-check" "direct" }}
{{- $_ := set $s "access" $v.access }}
{{- $tls := dict "mode" $v.tls.mode }}
{{- if eq $v.tls.mode "files" }}{{ $tls = dict "cert" "/etc/detour-tls/tls.crt" "key" "/etc/detour-tls/tls.key" }}{{ end }}
{{- $_ := set $s "tls" $tls }}
{{- if gt (len $v.hostnames) 1 }}
{{- $with := list }}
{{- range $i, $host := $v.hostnames }}
{{- $pod := printf "%s-%d.%s-peers.%s.svc" $name $i $name $root.Release.Namespace }}
{{- if eq $v.tls.mode "off" }}{{ $with = append $with (printf "http://%s:%s" $pod $port) }}{{ else }}{{ $with = append $with (printf "%s:%s/%s" $host $port $pod) }}{{ end }}
{{- end }}
{{- $_ := set $s "mesh" (dict "key-file" "/etc/detour-mesh/mesh.key" "with" $with) }}
{{- end }}
{{- toYaml (mergeOverwrite $s (deepCopy $v.settings)) }}
{{- end }}
