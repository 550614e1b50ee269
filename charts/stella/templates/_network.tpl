{{- /* Where pods of ours may go. */ -}}
{{- define "stella.egressDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{- define "stella.egressApiServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "stella.egressOperator" -}}
- ports:
    - {port: 8080, protocol: TCP}
  to:
    - podSelector:
        matchLabels: {{- include "stella.selector" . | nindent 10 }}
{{- end }}
