{#- Wide columns come first, so that none is padded to its width; ids and texts need no padding. -#}
{% macro stored_columns(types) %}
    {%- set widths = {'double precision': 8, 'timestamp without time zone': 8, 'integer': 4, 'date': 4, 'smallint': 2} -%}
    {%- set names = [] -%}
    {%- for width in (8, 4, 2, 0) -%}
        {%- for name, type in types.items() if widths.get(type, 0) == width -%}
            {%- do names.append(name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}


{#- In that order, with the types of the table: one of an earlier version has codes as integers. -#}
{% macro stored_values(types) -%}
    {%- for name in stored_columns(types) %}
            cast({{ adapter.quote(name) }} as {{ types[name] }}) as {{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{% macro types_of(table) %}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(table) -%}
        {%- do types.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {{ return(types) }}
{% endmacro %}
