{% test relationships_by_column(model, keys) %}
    {#- The codes are few: written out, they are looked up faster than by a join for each column. -#}
    {%- set conditions, queries, text = {}, [], dbt.type_string() -%}
    {%- for column, key in keys.items() -%}
        {%- do queries.append(
            "select '" ~ column ~ "' as column_name, cast(" ~ key.field ~ " as " ~ text ~ ") as code from " ~ key.to
        ) -%}
    {%- endfor -%}
    {%- set of_dataset = contracts().get(dataset_of(model), []) -%}
    {%- set texts = of_dataset | selectattr('data_type', 'equalto', 'text') | map(attribute='name') | list -%}
    {%- set found = run_query(queries | join(' union all ')).rows if execute else [] -%}
    {%- for column in keys -%}
        {%- set codes = found | selectattr('column_name', 'equalto', column) | map(attribute='code') | sort | list -%}
        {%- set written = "'" ~ codes | join("', '") ~ "'" if column in texts else codes | join(', ') -%}
        {%- do conditions.update({column: column ~ ' not in (' ~ written ~ ')'}) -%}
    {%- endfor -%}
    {{ rows_by_column(model, conditions) }}
{% endtest %}
