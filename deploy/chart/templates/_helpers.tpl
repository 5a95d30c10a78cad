{{/* Names and labels. */}}
{{- define "carillon.name" -}}
{{- if contains "carillon" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-carillon{{ end }}
{{- end }}

{{/* Call with (dict "root" $ "component" "gateway"). */}}
{{- define "carillon.selector" -}}
app.kubernetes.io/name: carillon
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "carillon.labels" -}}
{{ include "carillon.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Nobody is root, and nothing is written. */}}
{{- define "carillon.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "carillon.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What `config` says of polling and of the path, as the gateway does: both are allowed, and /socket.io/. */}}
{{- define "carillon.polls" -}}
{{- $public := (fromToml .Values.config).public | default dict }}
{{- if has "polling" ($public.transports | default (list "polling" "websocket")) }}true{{ end }}
{{- end }}

{{/* The fixed beginning of public.path, which may hold a {name}. */}}
{{- define "carillon.path" -}}
{{- $public := (fromToml .Values.config).public | default dict }}
{{- regexFind "^[^{]*" ($public.path | default "/socket.io/") }}
{{- end }}

{{- define "carillon.internalScheme" -}}
{{- if .Values.tls.internal.secretName }}https{{ else }}http{{ end }}
{{- end }}
