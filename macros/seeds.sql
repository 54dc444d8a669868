{#- dbt empties a seed's table before it fills it again. TRUNCATE does so for every snapshot: one from before,
    as a backup's, would find the table empty. -#}
{% macro postgres__truncate_relation(relation) %}
    {%- call statement('truncate_relation') -%}
        delete from {{ relation }}
    {%- endcall -%}
{% endmacro %}


{#- dbt fills a seed's table as it is, and fails at a column that an earlier version's lacks. -#}
{% macro postgres__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {%- set stored = adapter.get_columns_in_relation(old_relation) | map(attribute='name') | list -%}
    {%- for name in agate_table.column_names if name not in stored -%}
        {%- call statement('add_column') -%}
            alter table {{ old_relation }}
            add column {{ name }} {{ model.config.column_types.get(name) or adapter.convert_type(agate_table, agate_table.column_names.index(name)) }}
        {%- endcall -%}
    {%- endfor -%}
    {{ return(dbt.default__reset_csv_table(model, full_refresh, old_relation, agate_table)) }}
{% endmacro %}
