{% test relationships_by_column(model, keys) %}
    {#- The codes are few: written out, they are looked up faster than by a join for each column. -#}
    {%- set conditions, queries = {}, [] -%}
    {%- for column, key in keys.items() -%}
        {%- do queries.append("select '" ~ column ~ "' as column_name, " ~ key.field ~ " as code from " ~ key.to) -%}
    {%- endfor -%}
    {%- set found = run_query(queries | join(' union all ')).rows if execute else [] -%}
    {%- for column in keys -%}
        {%- set codes = found | selectattr('column_name', 'equalto', column) | map(attribute='code') -%}
        {%- do conditions.update({column: column ~ ' not in (' ~ codes | sort | join(', ') ~ ')'}) -%}
    {%- endfor -%}
    {{ rows_by_column(model, conditions) }}
{% endtest %}
