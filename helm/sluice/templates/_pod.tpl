{{- /* What the pods of the workload and of the check have in common. */ -}}
{{- define "sluice.podSpec" -}}
serviceAccountName: {{ include "sluice.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.initContainers }}
initContainers: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
volumes:
  - name: tables
    configMap:
      name: {{ tpl (.Values.existingTablesConfigMap | default (printf "%s-tables" (include "sluice.name" .))) . }}
  {{- $files := dict }}
  {{- range $name, $secret := .Values.secrets }}
  {{- if include "sluice.secretFile" $name }}{{ $_ := set $files $name $secret }}{{ end }}
  {{- end }}
  {{- if $files }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- range $name, $secret := $files }}
        - secret:
            name: {{ $secret.name }}
            items:
              - key: {{ $secret.key }}
                path: {{ $name }}
        {{- end }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* The same of their container; with .member each pod is a static member of the group. */ -}}
{{- define "sluice.container" -}}
image: {{ include "sluice.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
envFrom:
  - configMapRef:
      name: {{ include "sluice.name" . }}
  {{- with .Values.existingSecret }}
  - secretRef:
      name: {{ tpl . $ }}
  {{- end }}
  {{- with .Values.extraEnvFrom }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
env:
  {{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "POD_UID" "metadata.uid" "NODE_NAME" "spec.nodeName" }}
  - name: {{ $name }}
    valueFrom:
      fieldRef:
        fieldPath: {{ $path }}
  {{- end }}
  - name: OTEL_RESOURCE_ATTRIBUTES
    value: {{ include "sluice.resourceAttributes" . | quote }}
  {{- if .member }}
  - name: SLUICE_KAFKA_INSTANCE_ID
    value: $(POD_NAME)
  {{- end }}
  {{- range $name, $secret := .Values.secrets }}
  {{- if not (include "sluice.secretFile" $name) }}
  - name: {{ $name }}
    valueFrom:
      secretKeyRef:
        name: {{ $secret.name }}
        key: {{ $secret.key }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
resources: {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: tables
    mountPath: /etc/sluice/tables
    readOnly: true
  {{- range $name, $_ := .Values.secrets }}
  {{- if include "sluice.secretFile" $name }}
  - name: secrets
    mountPath: /etc/sluice/secrets
    readOnly: true
  {{- break }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end }}
