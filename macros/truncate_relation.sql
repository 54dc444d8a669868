{#- dbt empties a seed's table before it fills it again. TRUNCATE does so for every snapshot: one from before,
    as a backup's, would find the table empty. -#}
{% macro postgres__truncate_relation(relation) %}
    {%- call statement('truncate_relation') -%}
        delete from {{ relation }}
    {%- endcall -%}
{% endmacro %}
