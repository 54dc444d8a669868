{#- A column that a dataset lacks is NULL. Codes are integers, whatever a table has. -#}
{% macro union_datasets(datasets) %}
    {%- set types = {} -%}
    {%- for dataset in datasets -%}{%- do types.update(column_types()[dataset]) -%}{%- endfor -%}

    {%- for dataset in datasets %}
    {%- set own = column_types()[dataset] %}
    select
        cast('{{ dataset }}' as {{ dbt.type_string() }}) as dataset,
        unique_row_id,
        file_month,
        file_row
        {%- for name, type in types.items() %},
        {%- if type == 'smallint' or name not in own %}
        cast({{ name if name in own else 'null' }} as {{ sql_type(type) }}) as {{ name }}
        {%- else %}
        {{ name }}
        {%- endif %}
        {%- endfor %}

    from {{ ref(dataset ~ '_tripdata') }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}
{% endmacro %}


{% macro sql_type(data_type) %}
    {{ return({
        'integer': dbt.type_int(),
        'smallint': dbt.type_int(),
        'double': dbt.type_float(),
        'text': dbt.type_string(),
        'timestamp': type_datetime(),
    }[data_type]) }}
{% endmacro %}
