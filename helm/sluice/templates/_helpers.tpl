{{- /*
Names and labels. Each takes the chart's root or the scope of a pipeline, which is
the root with the pipeline's values and its key in .pipeline.
*/ -}}

{{- define "sluice.release" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains $chart .Release.Name }}{{ .Release.Name }}
{{- else }}{{ printf "%s-%s" .Release.Name $chart }}
{{- end }}
{{- end }}

{{- /* 50 bytes leave room for what is added: "-tables", and the hash in the label of a StatefulSet's revision. */ -}}
{{- define "sluice.name" -}}
{{- if .pipeline }}
{{- printf "%s-%s" (include "sluice.release" .) .pipeline | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- include "sluice.release" . | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sluice.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Labels of all pods of a pipeline, those of the check too. */ -}}
{{- define "sluice.pipelineSelector" -}}
{{ include "sluice.selector" . }}
{{- with .pipeline }}
sluice-cdc.github.io/pipeline: {{ . }}
{{- end }}
{{- end }}

{{- define "sluice.workloadSelector" -}}
{{ include "sluice.pipelineSelector" . }}
app.kubernetes.io/component: connector
{{- end }}

{{- define "sluice.checkSelector" -}}
{{ include "sluice.pipelineSelector" . }}
app.kubernetes.io/component: check
{{- end }}

{{- define "sluice.labels" -}}
{{- include "sluice.labelsWith" (dict "scope" .) }}
{{- end }}

{{- /* All labels of an object of .scope, with .selector, else the pipeline's, and .labels. What selectors look at wins. */ -}}
{{- define "sluice.labelsWith" -}}
{{- $chart := dict
  "app.kubernetes.io/version" .scope.Chart.AppVersion
  "app.kubernetes.io/managed-by" .scope.Release.Service
  "app.kubernetes.io/part-of" "sluice"
  "helm.sh/chart" (printf "%s-%s" .scope.Chart.Name .scope.Chart.Version | replace "+" "_") -}}
{{- merge (include (.selector | default "sluice.pipelineSelector") .scope | fromYaml) (.labels | default dict) (.scope.Values.commonLabels | default dict) $chart | toYaml }}
{{- end }}

{{- /* The metadata of an object of .scope: with .name and .namespace where they are not its own, .annotations, and .selector and .labels as above. */ -}}
{{- define "sluice.metadata" -}}
{{- $scope := .scope -}}
name: {{ .name | default (include "sluice.name" $scope) }}
namespace: {{ .namespace | default (include "sluice.namespace" $scope) }}
labels:
  {{- include "sluice.labelsWith" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) ($scope.Values.commonAnnotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sluice.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "sluice.release" . | trunc 50 | trimSuffix "-") }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "sluice.image" -}}
{{- $i := .Values.image -}}
{{- $registry := (.Values.global).imageRegistry | default $i.registry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $i.repository }}
{{- if $i.digest }}@{{ $i.digest }}{{ else }}:{{ $i.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "sluice.kind" -}}
{{ eq .Values.workload "deployment" | ternary "Deployment" "StatefulSet" }}
{{- end }}

{{- /* Most replicas that a pipeline can have. */ -}}
{{- define "sluice.maxReplicas" -}}
{{- if .Values.autoscaling.hpa.enabled }}{{ int .Values.autoscaling.hpa.maxReplicas }}
{{- else if .Values.autoscaling.keda.enabled }}{{ int .Values.autoscaling.keda.maxReplicas }}
{{- else }}{{ int .Values.replicas }}
{{- end }}
{{- end }}

{{- /* A quantity of memory such as 2Gi, 512M or 1.5Gi, in bytes. */ -}}
{{- define "sluice.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . }}{{ $text = int64 . | toString }}{{ end -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if not (hasKey $units $unit) }}{{ fail (printf "resources.limits.memory=%s: want a number with Mi, Gi, M or G" $text) }}{{ end -}}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit) | int64 }}
{{- end }}

{{- /* A duration of Go's such as 1m30s, in seconds. */ -}}
{{- define "sluice.seconds" -}}
{{- $start := now -}}
{{- sub ($start | mustDateModify (toString .) | unixEpoch) ($start | unixEpoch) }}
{{- end }}

{{- /* A list, or a text, as one text separated by commas, its templates rendered. */ -}}
{{- define "sluice.join" -}}
{{- $text := kindIs "slice" .value | ternary (.value | default list | join ",") .value -}}
{{- tpl (toString $text) .scope }}
{{- end }}
