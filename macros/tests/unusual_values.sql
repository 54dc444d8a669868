{% test unusual_values(model, never_null=[], relationships={}, ranges={}) %}
    {%- set conditions = {} -%}
    {%- for column in never_null -%}
        {%- do conditions.update({column: column ~ ' is null'}) -%}
    {%- endfor -%}
    {%- for column, codes in codes_of_dictionary(model, relationships).items() -%}
        {%- do conditions.update({column: column ~ ' not in (' ~ codes ~ ')'}) -%}
    {%- endfor -%}
    {%- for column, range in ranges.items() -%}
        {%- do conditions.update({column: 'not (' ~ column ~ ' between ' ~ range[0] ~ ' and ' ~ range[1] ~ ')'}) -%}
    {%- endfor -%}
    {{ rows_by_column(model, conditions) }}
{% endtest %}


{#- The codes are few: written out, they are looked up faster than by a join for each column. -#}
{% macro codes_of_dictionary(model, relationships) %}
    {%- set queries, written, text = [], {}, dbt.type_string() -%}
    {%- for column, key in relationships.items() -%}
        {%- do queries.append(
            "select '" ~ column ~ "' as column_name, cast(" ~ key.field ~ " as " ~ text ~ ") as code from " ~ key.to
        ) -%}
    {%- endfor -%}
    {%- set of_dataset = contracts().get(dataset_of(model), []) -%}
    {%- set texts = of_dataset | selectattr('data_type', 'equalto', 'text') | map(attribute='name') | list -%}
    {%- set found = run_query(queries | join(' union all ')).rows if execute and queries else [] -%}
    {%- for column in relationships -%}
        {%- set codes = found | selectattr('column_name', 'equalto', column) | map(attribute='code') | sort | list -%}
        {%- do written.update({column: "'" ~ codes | join("', '") ~ "'" if column in texts else codes | join(', ')}) -%}
    {%- endfor -%}
    {{ return(written) }}
{% endmacro %}
