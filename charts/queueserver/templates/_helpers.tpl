{{- define "queueserver.name" -}}
{{- $name := .Values.name | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the name %q begins with a letter and has only lower-case letters, digits and '-' in it: set the value name" $name) -}}
{{- end -}}
{{- if gt (len $name) 40 -}}
{{- fail (printf "the name %q has more than 40 characters: set the value name" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "queueserver.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: queueserver
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The source of the startup code, as JSON: the values' own, the ConfigMap made of profileFiles, or the simulation. */}}
{{- define "queueserver.profile" -}}
{{- $given := dig "environment" "profile" dict .Values.AsMap -}}
{{- if and $given .Values.profileFiles (not (hasKey $given "configMap")) -}}
{{- fail "startup code comes from profileFiles or from environment.profile: remove one of them" -}}
{{- end -}}
{{- if .Values.profileFiles -}}
{{- $source := deepCopy (get $given "configMap" | default dict) -}}
{{- if hasKey $source "name" -}}
{{- fail "profileFiles makes a ConfigMap of its own: remove environment.profile.configMap.name" -}}
{{- end -}}
{{- toJson (dict "configMap" (merge (dict "name" (printf "%s-profile" (include "queueserver.name" .))) $source)) -}}
{{- else if $given -}}
{{- toJson $given -}}
{{- else -}}
{{- toJson (dict "simulated" dict) -}}
{{- end -}}
{{- end -}}

{{/* Values of the chart itself; all others are fields of the specification. */}}
{{- define "queueserver.spec" -}}
{{- $spec := omit .Values.AsMap "name" "labels" "annotations" "keepOnUninstall" "profileFiles" "test" "ingress" "httpRoute" "tokenReviewRights" "global" | deepCopy -}}
{{- $environment := get $spec "environment" | default dict -}}
{{- $_ := set $environment "profile" (include "queueserver.profile" . | fromJson) -}}
{{- $_ := set $spec "environment" $environment -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* Name of the Service of the HTTP server; what leads to it makes no sense without it. */}}
{{- define "queueserver.http" -}}
{{- if not (hasKey .Values.AsMap "http") -}}
{{- fail "ingress and httpRoute lead to the HTTP server: set http, at least to {}" -}}
{{- end -}}
{{- include "queueserver.name" . }}-http
{{- end -}}

{{- define "queueserver.testImage" -}}
{{- .Values.test.image | default (dig "manager" "image" "" .Values.AsMap) | default (printf "localhost/queueserver/manager:%s" .Chart.AppVersion) -}}
{{- end -}}
