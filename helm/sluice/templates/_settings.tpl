{{- /* The settings of a pipeline that are no secrets, by variable, as YAML. What env has wins. */ -}}
{{- define "sluice.settings" -}}
{{- $v := .Values }}
{{- $s := dict
  "SLUICE_KAFKA_BROKERS" (include "sluice.join" (dict "value" $v.kafka.brokers "scope" .))
  "SLUICE_KAFKA_TOPICS" (include "sluice.join" (dict "value" $v.kafka.topics "scope" .))
  "SLUICE_KAFKA_GROUP" (include "sluice.group" .)
  "SLUICE_DRAIN_TIMEOUT" (printf "%ds" (int $v.drainTimeoutSeconds))
  "SLUICE_TABLES_FILE" "/etc/sluice/tables/tables.yaml"
  "SLUICE_HTTP_ADDR" ":8080"
  "SLUICE_LOG_FORMAT" "json" }}
{{- if eq $v.sink "feldera" }}
{{- $_ := set $s "SLUICE_SINK" "feldera" }}
{{- $_ := set $s "SLUICE_FELDERA_URL" (tpl $v.feldera.url .) }}
{{- $_ := set $s "SLUICE_FELDERA_PIPELINE" (tpl $v.feldera.pipeline .) }}
{{- else }}
{{- $_ := set $s "SLUICE_CELONIS_URL" (tpl $v.celonis.url .) }}
{{- $_ := set $s "SLUICE_CELONIS_POOL_ID" (tpl $v.celonis.poolId .) }}
{{- if not (hasKey $v.env "SLUICE_BUDGET_JOBS_PER_HOUR") }}
{{- $_ := set $s "SLUICE_BUDGET_JOBS_PER_HOUR" (toString .share) }}
{{- $_ := set $s "SLUICE_BUDGET_RESERVE" (div .share 10 | toString) }}
{{- end }}
{{- end }}
{{- with (($v.resources).limits).memory }}
{{- $bytes := include "sluice.bytes" . | int64 }}
{{- $_ := set $s "GOMEMLIMIT" (div (mul $bytes 85) 100 | toString) }}
{{- $_ := set $s "SLUICE_MEMORY_LIMIT" (div $bytes 2 | toString) }}
{{- end }}
{{- with $v.otel }}
{{- if or .endpoint .endpoints.traces .endpoints.metrics .endpoints.logs }}
{{- with .endpoint }}{{ $_ := set $s "OTEL_EXPORTER_OTLP_ENDPOINT" (tpl . $) }}{{ end }}
{{- $_ := set $s "OTEL_EXPORTER_OTLP_PROTOCOL" .protocol }}
{{- range $signal := list "traces" "metrics" "logs" }}
{{- $own := get $v.otel.endpoints $signal }}
{{- with $own }}{{ $_ := set $s (printf "OTEL_EXPORTER_OTLP_%s_ENDPOINT" (upper $signal)) (tpl . $) }}{{ end }}
{{- $_ := set $s (printf "OTEL_%s_EXPORTER" (upper $signal)) (and (get $v.otel $signal) (or $own $v.otel.endpoint) | empty | ternary "none" "otlp") }}
{{- end }}
{{- end }}
{{- $_ := set $s "OTEL_SERVICE_NAME" (.serviceName | default (include "sluice.name" $)) }}
{{- with .sampler }}{{ $_ := set $s "OTEL_TRACES_SAMPLER" . }}{{ end }}
{{- with toString .samplerArg }}{{ $_ := set $s "OTEL_TRACES_SAMPLER_ARG" . }}{{ end }}
{{- end }}
{{- range $name, $secret := $v.secrets }}
{{- with include "sluice.secretFile" $name }}
{{- $_ := set $s . (printf "/etc/sluice/secrets/%s" $name) }}
{{- end }}
{{- end }}
{{- range $name, $value := $v.env }}
{{- $_ := set $s $name (kindIs "string" $value | ternary (tpl (toString $value) $) (include "sluice.text" $value)) }}
{{- end }}
{{- toYaml $s }}
{{- end }}

{{- /* A number without the exponent that Helm gives to large ones; anything else as it is. */ -}}
{{- define "sluice.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* The variable that names the file of a credential, or nothing where the credential is a variable itself. */ -}}
{{- define "sluice.secretFile" -}}
{{- if regexMatch "_FILE$|^OTEL_EXPORTER_OTLP_.*(CERTIFICATE|CLIENT_KEY)$" . }}{{ . }}
{{- else if regexMatch "^SLUICE(_.*)?_(PASSWORD|SECRET|TOKEN|API_KEY|APP_KEY|HASH_KEY)$" . }}{{ . }}_FILE
{{- end }}
{{- end }}

{{- /* Resource attributes by which a backend finds the pod, for OTEL_RESOURCE_ATTRIBUTES, whose values are percent-encoded. */ -}}
{{- define "sluice.resourceAttributes" -}}
{{- $all := dict
  "k8s.namespace.name" "$(POD_NAMESPACE)"
  "k8s.pod.name" "$(POD_NAME)"
  "k8s.pod.uid" "$(POD_UID)"
  "k8s.node.name" "$(NODE_NAME)"
  "k8s.container.name" "sluice"
  (printf "k8s.%s.name" .Values.workload) (include "sluice.name" .)
  "service.instance.id" "$(POD_NAMESPACE).$(POD_NAME).sluice"
  "service.namespace" (include "sluice.namespace" .) }}
{{- range $name, $value := .Values.otel.resourceAttributes }}
{{- $_ := set $all $name (include "sluice.text" $value | urlquery | replace "+" "%20") }}
{{- end }}
{{- $pairs := list }}
{{- range $name, $value := $all }}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) }}
{{- end }}
{{- join "," $pairs }}
{{- end }}

{{- /* The text of the tables file, unless it comes from elsewhere. */ -}}
{{- define "sluice.tables" -}}
{{- if not .Values.existingTablesConfigMap }}
{{- tpl (toYaml (dict "tables" .Values.tables)) . }}
{{- end }}
{{- end }}
