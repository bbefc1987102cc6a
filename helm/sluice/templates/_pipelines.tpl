{{- /*
sluice.pipelines puts the scope of each pipeline into the map .into, by its key, and
refuses values that contradict each other. Without `pipelines` there is one, whose key is empty.
*/ -}}
{{- define "sluice.pipelines" -}}
{{- $root := .root }}
{{- $into := .into }}
{{- range $key, $own := $root.Values.pipelines | default (dict "" $root.Values) }}
{{- $values := mustMergeOverwrite (omit (deepCopy $root.Values) "pipelines") (deepCopy ($own | default dict)) }}
{{- range $name := list "env" "secrets" "tables" "podLabels" "podAnnotations" }}
{{- if not (get $values $name) }}{{ $_ := set $values $name dict }}{{ end }}
{{- end }}
{{- include "sluice.otherTarget" (dict "values" $values "own" ($own | default dict) "at" (include "sluice.at" $key)) }}
{{- $_ := set $into $key (dict "Values" $values "Chart" $root.Chart "Release" $root.Release "Capabilities" $root.Capabilities "Template" $root.Template "Files" $root.Files "pipeline" $key) }}
{{- end }}
{{- include "sluice.share" $into }}
{{- include "sluice.validate" (dict "scopes" $into "root" $root) }}
{{- end }}

{{- define "sluice.at" -}}
{{- with . }}pipelines.{{ . }}.{{ end }}
{{- end }}

{{- /*
sluice.otherTarget takes out of .values what only the other target reads, so that pipelines of
both can have values in common; it refuses that where a pipeline has it of its .own.
*/ -}}
{{- define "sluice.otherTarget" -}}
{{- $sink := .values.sink }}
{{- $unread := eq $sink "feldera" | ternary "^SLUICE_(CELONIS_|BUDGET_|PARQUET_|CHUNK_BYTES$|STRING_OVERFLOW$)" "^SLUICE_FELDERA_" }}
{{- range $kind := list "env" "secrets" }}
{{- $values := get $.values $kind }}
{{- range $name := keys $values | sortAlpha }}
{{- if regexMatch $unread $name }}
{{- if hasKey (get $.own $kind | default dict) $name }}{{ fail (printf "%s%s.%s: sink=%s does not read it; leave it out" $.at $kind $name $sink) }}{{ end }}
{{- $_ := unset $values $name }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq $sink "feldera" }}
{{- if (((.own.autoscaling).keda).budget).serverAddress }}
{{- fail (printf "%sautoscaling.keda.budget.serverAddress: sink=feldera has no budget of submissions to ask for; leave it out" .at) }}
{{- end }}
{{- $_ := set .values.autoscaling.keda.budget "serverAddress" "" }}
{{- end }}
{{- end }}

{{- /*
sluice.share notes in each scope how many submissions an hour each of its replicas may
make, .share: the release's, less what env gives to pipelines, divided by all other replicas
that there can be. Only Celonis' are rationed.
*/ -}}
{{- define "sluice.share" -}}
{{- $left := 0 }}
{{- $replicas := 0 }}
{{- range $scope := . }}
{{- $left = int $scope.Values.budget.jobsPerHour }}
{{- end }}
{{- range $scope := . }}
{{- if eq $scope.Values.sink "celonis" }}
{{- $most := include "sluice.maxReplicas" $scope | int }}
{{- with get $scope.Values.env "SLUICE_BUDGET_JOBS_PER_HOUR" }}
{{- $left = sub $left (mul (int .) $most) }}
{{- else }}
{{- $replicas = add $replicas $most }}
{{- end }}
{{- end }}
{{- end }}
{{- range $scope := . }}
{{- $_ := set $scope "share" (div (max 0 $left) (max 1 $replicas)) }}
{{- end }}
{{- end }}

{{- define "sluice.validate" -}}
{{- $metrics := .root.Values.metrics }}
{{- if and $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled: set one of them, or every pod is scraped twice" }}
{{- end }}
{{- $names := dict }}
{{- $groups := dict }}
{{- range $key, $scope := .scopes }}
{{- include "sluice.validatePipeline" $scope }}
{{- $at := printf "pipelines.%s" $key }}
{{- $name := include "sluice.name" $scope }}
{{- with get $names $name }}{{ fail (printf "%s and %s: both are named %s; give them names that differ in the first letters, or a shorter fullnameOverride" . $at $name) }}{{ end }}
{{- $_ := set $names $name $at }}
{{- $group := include "sluice.group" $scope }}
{{- with get $groups $group }}{{ fail (printf "%s and %s: both are in the consumer group %s and would take each other's partitions; set kafka.group of one" . $at $group) }}{{ end }}
{{- $_ := set $groups $group $at }}
{{- end }}
{{- end }}

{{- define "sluice.validatePipeline" -}}
{{- $at := include "sluice.at" .pipeline }}
{{- $v := .Values }}
{{- if not $v.kafka.brokers }}{{ fail (printf "%skafka.brokers is not set; want host:port of one or more brokers, such as [kafka-bootstrap:9092]" $at) }}{{ end }}
{{- range splitList "," (include "sluice.join" (dict "value" $v.kafka.brokers "scope" .)) }}
{{- if not (regexMatch "^\\S+:[0-9]+$" (trim .)) }}{{ fail (printf "%skafka.brokers=%s: want host:port, such as kafka-bootstrap:9092" $at .) }}{{ end }}
{{- end }}
{{- if not $v.kafka.topics }}{{ fail (printf "%skafka.topics is not set; want names of topics, or one regular expression such as ^shop\\.public\\..*" $at) }}{{ end }}
{{- if eq $v.sink "feldera" }}
{{- if not $v.feldera.url }}{{ fail (printf "%sfeldera.url is not set; want the address of the pipeline manager" $at) }}{{ end }}
{{- if not $v.feldera.pipeline }}{{ fail (printf "%sfeldera.pipeline is not set; want the name of the pipeline" $at) }}{{ end }}
{{- else }}
{{- if not $v.celonis.url }}{{ fail (printf "%scelonis.url is not set; want https://<team>.<cluster>.celonis.cloud" $at) }}{{ end }}
{{- if not $v.celonis.poolId }}{{ fail (printf "%scelonis.poolId is not set; want the id of the data pool" $at) }}{{ end }}
{{- end }}
{{- if and (eq $v.workload "deployment") $v.staticMembership }}
{{- fail (printf "%sstaticMembership=true: a pod of a Deployment never comes back under its name; set staticMembership=false, or workload=statefulset" $at) }}
{{- end }}
{{- if and $v.autoscaling.hpa.enabled $v.autoscaling.keda.enabled }}
{{- fail (printf "%sautoscaling.hpa.enabled and %sautoscaling.keda.enabled: set one of them; KEDA makes an autoscaler of its own" $at $at) }}
{{- end }}
{{- range $kind, $a := $v.autoscaling }}
{{- if and $a.enabled (gt (int $a.minReplicas) (int $a.maxReplicas)) }}
{{- fail (printf "%sautoscaling.%s.minReplicas=%d: want at most maxReplicas=%d" $at $kind (int $a.minReplicas) (int $a.maxReplicas)) }}
{{- end }}
{{- end }}
{{- with $v.autoscaling.keda }}
{{- range $trigger := and .enabled .budget.serverAddress .triggers | default list }}
{{- if not (has $trigger.type (list "cpu" "memory")) }}
{{- fail (printf "%sautoscaling.keda.triggers: KEDA goes by lag and budget alone under budget.serverAddress, so the trigger %s would do nothing; leave out one of them" $at $trigger.type) }}
{{- end }}
{{- end }}
{{- if and .enabled (not .topic) (or .limitToPartitionsWithLag .ensureEvenDistributionOfPartitions (not .fullMetadata)) }}
{{- fail (printf "%sautoscaling.keda.topic is not set; limitToPartitionsWithLag, ensureEvenDistributionOfPartitions and fullMetadata=false need it" $at) }}
{{- end }}
{{- end }}
{{- if and $v.autoscaling.hpa.enabled (not $v.autoscaling.hpa.targetCPUUtilizationPercentage) (not $v.autoscaling.hpa.metrics) }}
{{- fail (printf "%sautoscaling.hpa: want targetCPUUtilizationPercentage or metrics, or there is nothing to scale by" $at) }}
{{- end }}
{{- if and (toString $v.pdb.minAvailable) (toString $v.pdb.maxUnavailable) }}
{{- fail (printf "%spdb.minAvailable and %spdb.maxUnavailable: set one of them, and the other to \"\"" $at $at) }}
{{- end }}
{{- if and $v.tables $v.existingTablesConfigMap }}
{{- fail (printf "%stables and %sexistingTablesConfigMap: set one of them" $at $at) }}
{{- end }}
{{- $ways := list }}
{{- range $name := list "SLUICE_CELONIS_API_KEY" "SLUICE_CELONIS_APP_KEY" "SLUICE_CELONIS_OAUTH_CLIENT_SECRET" }}
{{- if hasKey $v.secrets $name }}{{ $ways = append $ways (printf "%ssecrets.%s" $at $name) }}{{ end }}
{{- end }}
{{- if gt (len $ways) 1 }}{{ fail (printf "%s: set one of them" (join " and " $ways)) }}{{ end }}
{{- range $name, $_ := $v.secrets }}
{{- if or (hasKey $v.env $name) (hasKey $v.env (printf "%s_FILE" $name)) }}
{{- fail (printf "%ssecrets.%s: env has it too; leave out one of them" $at $name) }}
{{- end }}
{{- end }}
{{- range $name, $value := include "sluice.settings" . | fromYaml }}
{{- if regexMatch "^HTTPS?_PROXY=.*@|://[^/]*@" (printf "%s=%s" $name $value) }}
{{- $remedy := hasSuffix "_PROXY" $name | ternary (printf "name the key of an existing Secret that has it whole under secrets.%s" $name) "leave them out; sluice config lists the secrets that are for them" }}
{{- fail (printf "%s%s: it has a user or password, which a ConfigMap shows to anyone; %s" $at $name $remedy) }}
{{- end }}
{{- end }}
{{- range $signal, $endpoint := $v.otel.endpoints }}
{{- if and $endpoint (not (get $v.otel $signal)) }}
{{- fail (printf "%sotel.endpoints.%s: nothing goes there; set otel.%s=true, or leave it out" $at $signal $signal) }}
{{- end }}
{{- end }}
{{- with $v.networkPolicy }}
{{- if and .enabled (not .egress) (not .httpPorts) (or (hasKey $v.secrets "HTTPS_PROXY") (hasKey $v.secrets "HTTP_PROXY")) }}
{{- fail (printf "%snetworkPolicy.httpPorts is not set; want the port of the proxy, whose address is a secret to the chart too" $at) }}
{{- end }}
{{- end }}
{{- $rebalance := get $v.env "SLUICE_KAFKA_REBALANCE_TIMEOUT" | default "2m" }}
{{- if gt (add (int $v.drainTimeoutSeconds) 30) (include "sluice.seconds" $rebalance | int64) }}
{{- fail (printf "%sdrainTimeoutSeconds=%d: want at least 30 less than env.SLUICE_KAFKA_REBALANCE_TIMEOUT=%s, or a rebalance throws a pod out that waits for its jobs" $at (int $v.drainTimeoutSeconds) $rebalance) }}
{{- end }}
{{- if and (eq $v.sink "celonis") (lt (int .share) 1) (not (hasKey $v.env "SLUICE_BUDGET_JOBS_PER_HOUR")) }}
{{- fail (printf "budget.jobsPerHour=%d: want one for each replica at least, besides what pipelines take by env.SLUICE_BUDGET_JOBS_PER_HOUR" (int $v.budget.jobsPerHour)) }}
{{- end }}
{{- end }}

{{- define "sluice.group" -}}
{{ tpl .Values.kafka.group . | default (include "sluice.name" .) }}
{{- end }}
