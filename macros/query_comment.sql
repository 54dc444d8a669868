{#- dbt's own comment on each query, with the dataset and the first of the months that are requested. -#}
{% macro query_comment(node, connection_name) %}
    {%- set comment = {
        'app': 'dbt',
        'dbt_version': dbt_version,
        'profile_name': target.get('profile_name'),
        'target_name': target.get('target_name'),
    } -%}
    {%- if node is not none -%}
        {%- do comment.update(node_id=node.unique_id) -%}
    {%- else -%}
        {%- do comment.update(connection_name=connection_name) -%}
    {%- endif -%}
    {%- set month = var('month', none) or (var('months', none) or [none])[0] -%}
    {%- for name, value in [('dataset', var('dataset', none)), ('month', month)] if value is string -%}
        {%- do comment.update({name: value}) -%}
    {%- endfor -%}
    {{ return(tojson(comment)) }}
{% endmacro %}
