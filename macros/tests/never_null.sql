{% test never_null(model, columns) %}
    {%- set conditions = {} -%}
    {%- for column in columns -%}
        {%- do conditions.update({column: column ~ ' is null'}) -%}
    {%- endfor -%}
    {{ rows_by_column(model, conditions) }}
{% endtest %}
